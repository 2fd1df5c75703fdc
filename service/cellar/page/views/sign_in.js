// Sign-in with an API key, where the service needs one.

import { useState } from "../vendor/hooks.js";
import { check, open, session, setKey } from "../core/api.js";
import { useAction } from "../core/hooks.js";
import { Button, Failure, Field, html, Title } from "../parts/basics.js";

export function SignIn() {
  const [key, setText] = useState("");
  const signIn = useAction(async () => {
    const text = key.trim();
    if (!text) throw new Error("Enter an API key. It looks like cellar_0123abcd_….");
    if (/[^\x21-\x7e]/.test(text)) throw new Error("An API key has no blanks and no letters with accents. Copy it again.");
    await check(await open("GET", "/v1/models?limit=1", { key: text }));
    setKey(text);
  });
  const submit = (event) => {
    event.preventDefault();
    signIn.run();
  };
  return html`
    <div class="sign-in">
      <${Title}>Sign in<//>
      ${session.why && html`<p class="banner" role="alert">${session.why}</p>`}
      <p>This service answers only requests with an API key. The key says which models and sessions are yours.</p>
      <form onSubmit=${submit} novalidate>
        <${Field} label="API key" help="Or a token of your identity provider. It is kept in this tab alone, and forgotten when the tab is closed." control=${(attributes) => html`
          <input ...${attributes} type="password" autocomplete="off" spellcheck="false" value=${key} onInput=${(event) => setText(event.target.value)} />`} />
        <${Failure} error=${signIn.error} />
        <${Button} type="submit" kind="main" busy=${signIn.isRunning}>Sign in<//>
      </form>
      <p class="help">You have no key? The operator of the service makes one with <code>cellar keys create</code>.</p>
    </div>`;
}
