// The page: navigation, sign-in, and the view that the address names.

import { render } from "./vendor/preact.js";
import { useEffect, useState } from "./vendor/hooks.js";
import { apiKey, NEEDS_KEY, session, setKey } from "./core/api.js";
import { useSession } from "./core/hooks.js";
import { link, useRoute } from "./core/router.js";
import { Announcer, Button, Empty, html, Title } from "./parts/basics.js";
import { Cells } from "./views/cells.js";
import { Dataset } from "./views/datasets/dataset.js";
import { Datasets } from "./views/datasets/datasets.js";
import { Keys } from "./views/keys.js";
import { Model } from "./views/models/model.js";
import { Models } from "./views/models/models.js";
import { Overview } from "./views/overview.js";
import { Session } from "./views/sessions/session.js";
import { Sessions } from "./views/sessions/sessions.js";
import { SignIn } from "./views/sign_in.js";
import { Sweeps } from "./views/sweeps/sweeps.js";
import { SweepView } from "./views/sweeps/sweep.js";
import { Job } from "./views/training/job.js";
import { Training } from "./views/training/training.js";

const PLACES = [
  ["", "Overview"],
  ["datasets", "Datasets"],
  ["models", "Models"],
  ["cells", "Cell editor"],
  ["training", "Training"],
  ["sweeps", "Sweeps"],
  ["sessions", "Sessions"],
  ...(NEEDS_KEY ? [["keys", "Keys"]] : []),
];

const THEMES = { system: "As the system", light: "Light", dark: "Dark" };
const dark = matchMedia("(prefers-color-scheme: dark)");

const chosenTheme = () => localStorage.getItem("cellar.theme") || "system";

function applyTheme() {
  const chosen = chosenTheme();
  document.documentElement.dataset.theme = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
  dispatchEvent(new Event("theme"));
}

function chooseTheme(theme) {
  localStorage.setItem("cellar.theme", theme);
  applyTheme();
}

const Missing = () => html`
  <${Title}>There is no such page<//>
  <${Empty} title="The address names no view of this page.">Choose one in the navigation, or open the <a href="#/">overview</a>.<//>`;

function View({ route: [place = "", name] }) {
  const views = {
    "": Overview,
    datasets: name === undefined ? Datasets : Dataset,
    models: name === undefined ? Models : Model,
    cells: Cells,
    training: name === undefined ? Training : Job,
    sweeps: name === undefined ? Sweeps : SweepView,
    sessions: name === undefined ? Sessions : Session,
    keys: NEEDS_KEY ? Keys : Missing,
  };
  const Found = views[place] || Missing;
  return html`<${Found} key=${location.hash} name=${name} />`;
}

function Navigation({ place, canSignOut }) {
  return html`
    <header class="side">
      <a class="brand" href="#/"><span class="brand-mark" aria-hidden="true"></span>Cellar</a>
      <nav aria-label="Views">
        <ul>${PLACES.map(([name, title]) => html`
          <li key=${name}><a href=${name ? link([name]) : "#/"} aria-current=${place === name ? "page" : undefined}>${title}</a></li>`)}</ul>
      </nav>
      <div class="side-end">
        <a href="docs/">API documentation</a>
        <label class="theme"><span>Colours</span>
          <select onChange=${(event) => chooseTheme(event.target.value)}>
            ${Object.entries(THEMES).map(([value, text]) => html`<option key=${value} value=${value} selected=${value === chosenTheme()}>${text}</option>`)}
          </select></label>
        ${canSignOut && html`<${Button} onClick=${() => setKey(null)}>Sign out<//>`}
      </div>
    </header>`;
}

function Page() {
  const route = useRoute();
  const key = useSession("key", apiKey);
  const isLost = useSession("connection", () => session.isLost);
  const isSignedIn = !NEEDS_KEY || key !== null;
  const [since, setSince] = useState(null);
  useEffect(() => setSince(isLost ? new Date() : null), [isLost]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the content</a>
    <${Navigation} place=${route[0] || ""} canSignOut=${NEEDS_KEY && isSignedIn} />
    <main id="main" tabindex="-1">
      <div role="status" aria-live="polite">
        ${isLost && html`<p class="banner">The service does not answer${since && html` since ${since.toLocaleTimeString("en-GB")}`}. The page tries again by itself.</p>`}
      </div>
      ${isSignedIn ? html`<${View} route=${route} />` : html`<${SignIn} />`}
    </main>
    <${Announcer} />`;
}

dark.addEventListener("change", applyTheme);
applyTheme();
render(html`<${Page} />`, document.getElementById("page"));
