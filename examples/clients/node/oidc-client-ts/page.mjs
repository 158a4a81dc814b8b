// A web application that is nothing but a page: no server of its own, and so no secret. It signs people in by
// oidc-client-ts, told only who the issuer is and which client it is.
import { UserManager } from "oidc-client-ts";

const { issuer, client_id } = await (await fetch("/settings.json")).json();
const people = new UserManager({
  authority: issuer,
  client_id,
  redirect_uri: `${location.origin}/callback`,
  post_logout_redirect_uri: `${location.origin}/`,
  scope: "openid profile email offline_access",
  loadUserInfo: true,
  // The refresh token goes with the person; they are rotated, so that one which was stolen is found out.
  revokeTokensOnSignout: true,
});

const element = (id) => document.getElementById(id);
const status = document.querySelector("[role=status]");

function show(user) {
  status.textContent = user ? `Signed in as ${user.profile.email}` : "Nobody is signed in";
  element("login").hidden = Boolean(user);
  element("renew").hidden = element("logout").hidden = !user;
}

/** attempt tells the person what went wrong, if something does. */
const attempt = (action) => () => action().catch((error) => (status.textContent = `Failed: ${error.error ?? error.message}`));

element("login").onclick = attempt(() => people.signinRedirect());
element("logout").onclick = attempt(() => people.signoutRedirect());
element("renew").onclick = attempt(async () => {
  show(await people.signinSilent());
  status.textContent += ", once more";
});
people.events.addUserSignedOut(() => show(null));

await attempt(async () => {
  if (location.pathname === "/callback") {
    await people.signinCallback();
    history.replaceState(null, "", "/");
  }
  show(await people.getUser());
})();
