// Each demo account sees exactly its systems, and is offered exactly its actions, in both states.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { shot } from "./support/browser.mjs";
import { bringTo, call, systemsOf } from "./support/api.mjs";
import { cards, signedIn } from "./support/people.mjs";
import { account, stand } from "./support/stand.mjs";

const acme = ["Berkeley", "Hayward", "Oakland"];
const arm = (location) => ["Away", "Stay", "Night"].map((mode) => `Arm ${location}: ${mode}`);
const disarm = (location) => [`Disarm ${location}`];
const nothing = () => [];

const accounts = [
  { name: "admin", about: "views every company's systems and acts on none", sees: [...acme, "Springfield"], disarmed: nothing, armed: nothing },
  { name: "alice", about: "arms and disarms all of Acme", sees: acme, disarmed: arm, armed: disarm },
  { name: "mary", about: "arms and disarms Oakland, and sees nothing else", sees: ["Oakland"], disarmed: arm, armed: disarm },
  { name: "charlie", about: "disarms Berkeley through a team", sees: ["Berkeley"], disarmed: nothing, armed: disarm },
  { name: "victor", about: "views Acme", sees: acme, disarmed: nothing, armed: nothing },
  { name: "eve", about: "sees nothing", sees: [], disarmed: nothing, armed: nothing },
];

for (const state of ["DISARMED", "ARMED"]) {
  describe(`while Acme's systems are ${state.toLowerCase()}`, () => {
    const session = {};
    before(async () => {
      const { page, context } = await signedIn(collector(session), "alice");
      Object.assign(session, { page, context });
      for (const location of acme) await bringTo(page, location, state);
    });
    after(() => session.close());

    for (const { name, about, sees, ...offered } of accounts) {
      test(`${name} ${about}`, async (t) => {
        const { page } = await signedIn(t, name);
        const actions = offered[state.toLowerCase()];
        const shown = await cards(page);
        const expected = sees.map((location) => ({
          name: location,
          state: acme.includes(location) ? state : "DISARMED",
          actions: actions(location),
        }));
        assert.deepEqual(shown.toSorted(byName), expected.toSorted(byName));
        await shot(page, `home-${name}-${state.toLowerCase()}`);

        const answered = await systemsOf(page);
        assert.deepEqual(Object.keys(answered).sort(), sees.toSorted(), "the API shows what the page shows");
      });
    }
  });
}

test("bob sees Foo's system alone; he may arm it and not disarm it", async (t) => {
  const { page } = await signedIn(t, "bob");
  const [shown, ...others] = await cards(page);
  assert.deepEqual(others, []);
  assert.deepEqual(shown, { name: "Springfield", state: "DISARMED", actions: arm("Springfield") });

  await page.getByRole("button", { name: "Arm Springfield: Stay" }).click();
  await page.getByText("Armed · Stay").waitFor();
  assert.deepEqual(await cards(page), [{ name: "Springfield", state: "ARMED", actions: [] }]);

  const { Springfield } = await systemsOf(page);
  const refused = await call(page, "POST", `/api/v1/securitysystems/${Springfield.id}:disarm`);
  assert.equal(refused.status, 403);
  assert.equal((await systemsOf(page)).Springfield.state, "ARMED");
});

test("who is signed in stands in the header, and goes from there to their account", async (t) => {
  const { page } = await signedIn(t, "mary");
  const header = page.getByRole("banner");
  const { body } = await call(page, "GET", "/api/auth/session");
  assert.equal(body.user.email, account("mary").username);
  await header.getByRole("link", { name: body.user.name }).click();
  await page.getByRole("heading", { name: "Your account" }).waitFor();
  assert.equal(page.url(), `${stand.issuer}/account`);
});

const byName = (a, b) => a.name.localeCompare(b.name);

/** Stands in for a test's context in a hook, which has none: what a test would clean up, session.close does. */
function collector(session) {
  const closers = [];
  session.close = () => Promise.all(closers.map((close) => close()));
  return { after: (close) => closers.push(close) };
}
