"""Each view of the page: its main action, no error in the console, nothing serious for axe in light and dark."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import playwright
import pytest
from playwright.sync_api import expect

from cellar.api.page import FILES
from tests.debian_packages import needs
from tests.page.browser import WITHIN_MS, Operated, operated
from tests.page.service import ODD, Furnished, furnished, session_path

MOST_BYTES = 250_000
"""What the page may transfer: all files and the API document, which its forms are made of."""

MOST_LINES = 350

NODE = str(Path(playwright.__file__).parent / "driver" / "node")
"""The JavaScript runtime that Playwright brings with it."""

pytestmark = [needs("chromium", "chromium"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, kernel_directory: Path) -> Iterator[Furnished]:
    """Yield a service with data."""
    with furnished(tmp_path_factory.mktemp("page"), kernel_directory) as service:
        yield service


@pytest.fixture(scope="module")
def signed_in(service: Furnished) -> Iterator[Operated]:
    """Yield the page after signing in, which needs a key that works."""
    with operated(service.replica.url) as page:
        page.visit("", "Sign in")
        page.check_access()
        field = page.page.get_by_label("API key")
        for wrong, fault in {"": "Enter an API key.", "cellär": "no letters with accents"}.items():
            field.fill(wrong)
            page.button("Sign in")
            expect(page.page.get_by_role("alert")).to_contain_text(fault)
        field.fill("cellar_0123456789abcdef_nothing")
        with page.page.expect_console_message(lambda message: "401" in message.text):
            page.button("Sign in")
        assert [error for error in page.take_errors() if "401" not in error] == []
        field.fill(service.key)
        page.button("Sign in")
        expect(page.page.get_by_role("heading", level=1)).to_have_text("Overview")
        assert page.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
        yield page


@pytest.fixture
def page(signed_in: Operated) -> Iterator[Operated]:
    """Yield the page, and fail if it has reported an error in the end."""
    yield signed_in
    assert signed_in.take_errors() == []


def test_overview(page: Operated) -> None:
    page.visit("", "Overview")
    expect(page.page.get_by_text("Each step is on disk before it is answered.")).to_be_visible()
    expect(page.card("Busiest models").get_by_role("link", name="tide")).to_be_visible()
    expect(page.card("Processes")).to_contain_text("api")
    expect(page.card("Steps").get_by_role("img", name="Steps per second")).to_be_visible()
    page.check_access()


def test_the_documentation_runs_under_its_policy(page: Operated) -> None:
    page.page.goto(f"{page.url}/docs/")
    expect(page.page.get_by_text("/v1/sessions/{session}/step", exact=True)).to_be_visible()


def test_a_dataset_is_added_looked_at_and_deleted(page: Operated, tmp_path: Path) -> None:
    lines = ["at,place,temp", *(f"2026-03-0{1 + row // 24} {row % 24}:00,hall,{row % 7}" for row in range(60))]
    file = tmp_path / "Räume 1.csv"
    file.write_text("\n".join(lines).replace(",5\n", ",\n") + "\n2026-03-04 00:00,hall,warm\n", "utf-8")
    page.visit("datasets?new=1", "Datasets")
    form = page.card("Add a file")
    form.get_by_label("File", exact=True).set_input_files(file)
    page.button("Add dataset")
    expect(form.get_by_role("alert")).to_contain_text('row 62, column "temp"')
    assert [error for error in page.take_errors() if "422" not in error] == []
    form.get_by_text("More:").click()
    form.get_by_label("Missing", exact=True).fill("warm")
    form.get_by_label("Series", exact=True).fill("place")
    page.check_access()
    page.button("Add dataset")
    expect(page.page.get_by_role("heading", level=1)).to_have_text("raume-1")
    expect(page.card("Columns").get_by_role("row", name="temp")).to_contain_text("half of them from")
    expect(page.card("Plot").get_by_role("img", name="temp over time")).to_be_visible()
    expect(page.card("Rows").get_by_text("missing").first).to_be_visible()
    page.button("Next")
    expect(page.card("Rows")).to_contain_text("from row 26 of 61")
    page.check_access()
    page.visit("datasets", "Datasets")
    expect(page.card("All datasets").get_by_role("row", name="raume-1")).to_contain_text("61")
    page.check_access()
    page.page.get_by_role("link", name="raume-1").click()
    page.button("Delete")
    page.button("Delete", within="dialog")
    expect(page.page.get_by_role("heading", level=1)).to_have_text("Datasets")
    expect(page.page.get_by_role("link", name="raume-1")).to_be_hidden()


def test_ten_clicks_lead_from_a_file_to_a_live_forecast(page: Operated, service: Furnished, tmp_path: Path) -> None:
    rows = [(15 + 5 * math.sin(row * math.pi / 12) + 3 * math.sin(row / 60), row % 5) for row in range(400)]
    lines = [f"2026-01-{1 + row // 24:02} {row % 24}:00,{temp:.3f},{fan},{fan}" for row, (temp, fan) in enumerate(rows)]
    file = tmp_path / "hall.csv"
    file.write_text("\n".join(["at,temp,fan,constructor", *lines]), "utf-8")
    page.visit("", "Overview")
    page.page.evaluate("window.clicks = 0; addEventListener('click', (event) => event.isTrusted && clicks++, true)")
    page.page.get_by_role("link", name="Datasets").click()
    with page.page.expect_file_chooser() as chooser:
        page.card("Add a file").get_by_label("File", exact=True).click()
    chooser.value.set_files(file)
    page.button("Add dataset")
    page.page.get_by_role("link", name="Train a forecast").click()
    expect(page.page.get_by_label("Target")).to_have_value("temp")
    page.button("Train")
    expect(page.card("What was chosen, and why").get_by_role("row", name="period")).to_contain_text("24")
    expect(page.card("Result")).to_contain_text("Better than doing nothing", timeout=4 * WITHIN_MS)
    page.button("Try a session")
    page.button("Forecast")
    forecast = page.card("Forecast")
    expect(forecast).to_contain_text(
        re.compile(r"temp in 24 steps: [\d.]+, within [\d.]+ and [\d.]+ with a probability of 80%")
    )
    assert page.page.evaluate("clicks") <= 10
    expect(forecast.get_by_role("img", name="Forecast of temp")).to_be_visible()
    page.check_access()
    page.page.get_by_label("fan", exact=True).fill("quick")
    page.button("Step")
    expect(page.card("Take a step").get_by_role("alert")).to_contain_text("fan: “quick” is not a number.")
    page.page.get_by_label("fan", exact=True).fill("2")
    page.page.get_by_label("say how surprising").check()
    page.button("Step")
    expect(forecast).to_contain_text("Made after step 301")
    expect(page.card("Inputs").get_by_role("img", name="Inputs: temp –, fan 2, constructor –")).to_be_visible()
    expect(page.card("Take a step")).to_contain_text("Surprise: temp unknown")
    job = next(job for job in service.api.get("/v1/jobs").json()["jobs"] if job.get("data"))
    page.visit(f"training/{job['job']}", "Training of hall")
    page.button("Measure")
    held = page.card("Forecasts of the held-out readings")
    expect(held).to_contain_text("were within the interval that is to hold 80%")
    expect(held.get_by_role("img", name="Forecasts of temp")).to_be_visible()
    page.check_access()
    page.visit("models/hall", "hall@1")
    page.page.get_by_label("Steps ahead").fill("3")
    page.button("Run the backtest")
    metrics = page.card("Backtest").get_by_role("row", name="repeating the last value temp")
    expect(metrics).to_contain_text("%")
    page.check_access()


def test_a_sweep_is_ranked_followed_and_cancelled(page: Operated, service: Furnished) -> None:
    data = {"layout": "TF", "inputs": [[0.5, 0.25]] * 8, "targets": [[0.25, 0.5]] * 8}
    body = {"job": {"model": "tide", "data": data}, "parameters": {"epochs": [1, 1_000_000]}, "max_parallel": 1}
    sweep = service.post("/v1/sweeps", body)
    page.visit("sweeps", "Sweeps")
    page.card("All sweeps").get_by_role("link", name="tide@1").click()
    expect(page.page.get_by_text("as it happens")).to_be_visible()
    expect(page.card("Trials").get_by_role("row", name="1 1 epochs 1 succeeded")).to_be_visible()
    expect(page.card("Losses of the best").get_by_role("img")).to_be_visible()
    page.check_access()
    page.page.route("**/v1/jobs/*/events", lambda route: route.abort())
    page.card("Trials").get_by_role("row", name="running").get_by_role("link").click()
    expect(page.page.get_by_text("every 2 seconds")).to_be_visible()
    expect(page.card("Progress")).to_contain_text("of 1000000")
    page.page.unroute("**/v1/jobs/*/events")
    expect(page.page.get_by_text("as it happens")).to_be_visible()
    page.check_access()
    assert [error for error in page.take_errors() if "net::ERR_" not in error] == []
    page.visit(f"sweeps/{sweep['sweep']}", "Sweep of tide@1")
    page.button("Cancel sweep")
    expect(page.page.locator(".facts").get_by_text("cancelled", exact=True)).to_be_visible()
    page.button("Delete")
    page.button("Delete", within="dialog")
    expect(page.page.get_by_text("No sweep has been started.")).to_be_visible()


def test_a_sweep_is_started_over_ranges(page: Operated, service: Furnished) -> None:
    dense = {"type": "dense", "out_size": 2}
    service.post("/v1/models", {"name": "ebb", "network": {"in_size": 2, "layers": [dense]}})  # it gets a new version
    page.visit("sweeps", "Sweeps")
    page.button("New sweep")
    form = page.card("New sweep")
    form.get_by_label("Model").fill("ebb")
    form.get_by_label("The data are").select_option("a series: forecast its next values")
    form.get_by_label("Series").fill("\n".join(f"{step % 7 / 7}, {step % 5 / 5}" for step in range(40)))
    form.get_by_label("Epochs", exact=True).fill("1")
    page.button("Add a field")
    second = form.get_by_role("group", name="Field 2")
    second.get_by_role("combobox", name="Field").fill("window")
    second.get_by_label("Values").select_option("a range of whole numbers")
    second.get_by_label("From").fill("9")
    second.get_by_label("To").fill("4")
    page.button("Search")
    expect(form.get_by_role("alert")).to_have_text("window: enter two numbers, of which the first is the smaller one.")
    second.get_by_label("To").fill("12")
    form.get_by_label("Trials").fill("2")
    page.check_access()
    page.button("Search")
    expect(page.page.get_by_role("heading", level=1)).to_have_text(re.compile("Sweep of ebb@"))
    expect(page.card("Trials").get_by_text("learning_rate")).to_have_count(2)
    expect(page.page.locator(".facts").get_by_text("2 of 2 ended")).to_be_visible(timeout=4 * WITHIN_MS)
    page.check_access()
    page.button("Delete")
    page.button("Delete", within="dialog")
    expect(page.page.get_by_role("heading", level=1)).to_have_text("Sweeps")


def test_a_model_is_drawn_and_gets_an_alias(page: Operated) -> None:
    page.visit("models", "Models")
    page.page.get_by_role("link", name="tide", exact=True).click()
    heading = page.page.get_by_role("heading", level=1)
    expect(heading).to_have_text(re.compile(r"tide@\d"))  # other tests train it further
    expect(page.page.get_by_role("group", name="Network")).to_contain_text("24 hidden")
    page.button(f"Set an alias for {heading.inner_text()}")
    page.page.get_by_label("Alias", exact=True).fill("canary")
    page.button("Move alias", within="dialog")
    expect(page.card("Versions")).to_contain_text("canary")
    page.check_access()


def test_a_cell_has_its_fault_at_the_caret_and_becomes_a_model(page: Operated) -> None:
    page.visit("cells", "Cell editor")
    text = page.page.get_by_label("Equations of the cell")
    text.fill("k = sigmoid(b_k)\nh = k * h + W @ y")
    expect(page.page.locator("#cell-outcome")).to_contain_text("Line 2, column 17")
    expect(page.page.locator(".editor mark")).to_have_text("y")
    page.check_access()
    assert [error for error in page.take_errors() if "422" not in error] == []
    text.fill("k = sigmoid(b_k)\nh = k * h + W @ x")
    expect(page.page.locator("#cell-outcome")).to_contain_text("The cell is valid.")
    expect(page.card("What follows from them").get_by_role("row", name="W parameter")).to_contain_text("5 × 3")
    page.button("Create a model")
    page.page.get_by_label("Name", exact=True).fill("own")
    page.button("Create model", within="dialog")
    expect(page.page.get_by_role("heading", level=1)).to_have_text("own@1")


def test_a_session_is_stepped_copied_and_sent_back(page: Operated, service: Furnished) -> None:
    page.visit("sessions", "Sessions")
    page.page.get_by_role("link", name=ODD).click()
    expect(page.page.get_by_role("heading", level=1)).to_have_text(ODD)
    page.page.get_by_label("Input", exact=True).fill("0.5")
    page.button("Step")
    expect(page.card("Take a step")).to_contain_text("expected 2 numbers, got 1")
    page.page.get_by_label("Input", exact=True).fill("0.5, -1")
    page.button("Step")
    expect(page.card("Take a step")).to_contain_text("Output of step 41")
    service.post(f"{session_path(ODD)}/step", {"input": [0.25, 0.125]})
    expect(page.card("Inputs")).to_contain_text("Step 42")
    expect(page.card("Inputs")).to_contain_text("input 1 0.125")
    expect(page.card("Outputs")).to_contain_text("Step 42")
    page.check_access()
    page.page.get_by_role("slider").fill("40")
    page.button("Go back")
    page.button("Undo")
    expect(page.page.get_by_role("button", name="Undo", exact=True)).to_be_hidden()
    page.button("Take snapshot")
    expect(page.card("Snapshots").get_by_role("listitem")).to_have_count(1)
    page.button("Fork")
    page.page.get_by_label("Name", exact=True).fill("child/ü")
    page.button("Fork", within="dialog")
    expect(page.page.get_by_role("heading", level=1)).to_have_text("child/ü")
    state = [service.api.get(f"{session_path(name)}/state").json()["layers"] for name in (ODD, "child/ü")]
    assert state[0] == state[1]


def test_a_wide_state_is_a_map_of_all_its_numbers(page: Operated) -> None:
    page.visit("sessions/wide", "wide")
    expect(page.page.get_by_role("img", name="h of layer 0")).to_have_attribute(
        "aria-label", re.compile("4096 numbers")
    )
    page.check_access()


def test_a_job_is_explained_submitted_and_drawn(page: Operated) -> None:
    page.visit("training?model=tide", "Training")
    form = page.card("New job")
    expect(form).to_contain_text("Sequences in one update.")
    form.get_by_label("Series").fill("1 2\n3 x")
    page.button("Train")
    expect(form.get_by_role("alert")).to_have_text("Series: “x” in line 2 is not a number.")
    form.get_by_label("Series").fill("\n".join(f"{step % 7 / 7}, {step % 5 / 5}" for step in range(80)))
    form.get_by_label("Epochs").fill("3")
    form.get_by_label("Optimiser").select_option("adam")
    form.get_by_label("Learning rate").fill("0.01")
    page.check_access()
    page.button("Train")
    expect(page.card("Loss")).to_contain_text("Epoch 3", timeout=4 * WITHIN_MS)
    expect(page.card("Jobs").get_by_role("link", name="tide@2")).to_be_visible()
    page.check_access()
    page.button("Delete job")
    page.button("Delete", within="dialog")
    expect(page.card("Jobs").get_by_text("tide@2")).to_be_hidden()


def test_a_key_is_created_used_and_revoked(page: Operated, service: Furnished) -> None:
    page.visit("keys", "Keys")
    page.button("New key")
    page.button("Create key", within="dialog")
    expect(page.page.get_by_role("alert")).to_have_text("Name: say what the key is for.")
    page.page.get_by_label("Name", exact=True).fill("line 4")
    page.page.get_by_role("checkbox", name="step").check()
    page.check_access()
    page.button("Create key", within="dialog")
    own = page.card("The new key").locator("code").inner_text()
    listed = {"Authorization": f"Bearer {own}"}
    assert httpx.get(f"{service.replica.url}/v1/models", headers=listed).status_code == 200
    assert httpx.get(f"{service.replica.url}/v1/keys", headers=listed).status_code == 403
    page.check_access()
    page.button("Done")
    page.button("Revoke line 4")
    page.button("Revoke", within="dialog")
    expect(page.card("All keys").get_by_role("row", name="line 4")).to_contain_text("revoked")
    assert httpx.get(f"{service.replica.url}/v1/models", headers=listed).status_code == 401


def test_copied_requests_run(page: Operated, service: Furnished, tmp_path: Path) -> None:
    page.visit("sessions", "Sessions")
    body = {"session": "a 'b' \"c\" \\ 🙂", "model": "tide", "pinned": True}
    script = """async (request) => {
        const { LANGUAGES } = await import(document.querySelector('link[href$="core/snippets.js"]').href);
        return Object.values(LANGUAGES).map((write) => write(request));
    }"""
    file = {"name": "some 'readings'.csv", "type": "text/csv"}
    (tmp_path / file["name"]).write_text("time,temp\n2026-01-01,1\n2026-01-02,2\n", "utf-8")
    own = os.environ | {"CELLAR_API_KEY": service.key}
    for request, member, name in (
        ({"method": "POST", "path": "/v1/sessions", "body": body}, "session", body["session"]),
        ({"method": "POST", "path": "/v1/datasets?name=copied", "file": file}, "dataset", "copied"),
    ):
        curl, python, typescript = page.page.evaluate(script, request)
        (tmp_path / "program.mjs").write_text(typescript, "utf-8")
        for command in (["sh", "-c", curl], [sys.executable, "-c", python], [NODE, "program.mjs"]):
            done = subprocess.run(command, env=own, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert httpx.Response(200, text=done.stdout).json()[member] == name, (command, done)


def test_a_lost_connection_is_said_once_and_mends(page: Operated) -> None:
    page.visit("", "Overview")
    page.page.context.set_offline(True)
    expect(page.page.get_by_text("The service does not answer since")).to_be_visible()
    page.page.context.set_offline(False)
    expect(page.page.get_by_text("The service does not answer")).to_be_hidden()
    assert [error for error in page.take_errors() if "net::ERR_" not in error] == []


def test_the_page_is_small_and_asks_no_other_host(page: Operated, service: Furnished) -> None:
    total = sum(page.sizes.values())
    sys.stdout.write(f"the page transfers {total:,} bytes in {len(page.sizes)} files; at most {MOST_BYTES:,}\n")
    assert total <= MOST_BYTES
    assert {urlsplit(url).netloc for url in page.loaded if not url.startswith("data:")} == {
        urlsplit(service.replica.url).netloc
    }


def test_files_are_short() -> None:
    own = [path for path in FILES.rglob("*.js") if path.parent.name != "vendor"] + [*FILES.rglob("*.css")]
    assert [path.name for path in own if path.read_text("utf-8").count("\n") > MOST_LINES] == []
