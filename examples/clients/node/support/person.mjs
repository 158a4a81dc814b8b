// Somebody at a browser that runs no scripts.
import assert from "node:assert/strict";
import { account } from "./stand.mjs";

/** person is an account's holder at a browser that has never been here. It keeps cookies, follows redirects and sends forms. */
export function person(name) {
  const { username, password } = account(name);
  const jars = new Map(); // of cookies, by host: cookies ignore ports

  /** go requests a URL and what it redirects to, up to one that begins with `until`, which is not requested: `sent` is the form for it. */
  async function go(url, { until, ...init } = {}) {
    for (let hops = 0; hops < 20; hops++) {
      url = new URL(url);
      if (until && url.href.startsWith(until)) return page({ url, until, sent: init.body });
      if (!jars.has(url.hostname)) jars.set(url.hostname, new Map());
      const jar = jars.get(url.hostname);
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
      const response = await fetch(url, { ...init, redirect: "manual", headers: { ...init.headers, cookie } });
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        /;\s*max-age=(0|-)/i.test(line) ? jar.delete(name) : jar.set(name, value);
      }
      const text = await response.text();
      const next = response.headers.get("location");
      if (!next) return page({ url, until, status: response.status, text });
      [url, init] = [new URL(next, url), {}];
    }
    assert.fail(`redirected for ever, at last to ${url}`);
  }

  const page = (arrived) => ({
    ...arrived,
    /** signIn answers the sign-in page. */
    signIn: () => press(arrived, "Sign in", { username, password }),
    /** press sends the form that has a button of this label. */
    press: (label, fields) => press(arrived, label, fields),
  });

  function press({ url, until, text }, label, fields = {}) {
    for (const [, form, inside] of text.matchAll(/<form([^>]*)>(.*?)<\/form>/gs)) {
      for (const [, button, its] of inside.matchAll(/<button([^>]*)>(.*?)<\/button>/gs)) {
        if (its.trim() !== label) continue;
        const values = [...inside.matchAll(/<input([^>]*)>/g)].map(([, input]) => [attribute(input, "name"), attribute(input, "value")]);
        if (attribute(button, "name")) values.push([attribute(button, "name"), attribute(button, "value")]);
        const body = new URLSearchParams({ ...Object.fromEntries(values), ...fields });
        return go(new URL(attribute(form, "action"), url), { until, method: "POST", body, headers: { origin: url.origin } });
      }
    }
    assert.fail(`no button ${label} at ${url}:\n${text}`);
  }

  return { username, go };
}

const entities = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"' };

/** attribute is the value of one in a tag; "" without. */
function attribute(tag, name) {
  const [, value = ""] = new RegExp(`\\b${name}="([^"]*)"`).exec(tag) ?? [];
  return value.replace(/&(?:#(\d+)|\w+);/g, (entity, code) => (code ? String.fromCodePoint(Number(code)) : entities[entity]));
}
