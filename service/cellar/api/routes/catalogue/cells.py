"""The route that checks and explains the equations of a cell, without creating anything."""

from anyio.to_thread import run_sync
from fastapi import APIRouter

from cellar.api.errors.problems import answers
from cellar.api.errors.validation_errors import below
from cellar.api.http.parameters import BODY, CELL
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.cells import CellAnswer, CellRequest
from cellar.engine import build_cell

router = APIRouter(prefix="/v1/cells", tags=["cells"], route_class=JsonRoute)


@router.post("", responses=answers(*BODY, *CELL))
async def explain_cell(body: CellRequest) -> CellAnswer:
    """Parse a cell and return its parameters, states, output and cost. Nothing is created or compiled."""

    def explain() -> CellAnswer:
        """Build the cell, with pointers of errors below `/equations`."""
        with below("/equations"):
            return CellAnswer.of(build_cell(body.equations, body.sizes))

    return await run_sync(explain)
