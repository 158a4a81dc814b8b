// Serves the page and the library, as any web server could.
//
//   node oidc-client-ts/serve.mjs http://localhost:9000 CLIENT_ID
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";

const files = {
  "/": "index.html",
  "/callback": "index.html",
  "/page.mjs": "page.mjs",
  "/node_modules/oidc-client-ts/dist/esm/oidc-client-ts.js": "../node_modules/oidc-client-ts/dist/esm/oidc-client-ts.js",
  "/node_modules/jwt-decode/build/esm/index.js": "../node_modules/jwt-decode/build/esm/index.js",
};
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript" };

/** pages answers requests with the page, which finds issuer and client id in settings.json. */
export function pages({ issuer, clientId }) {
  return async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/settings.json") {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ issuer, client_id: clientId }));
    } else if (files[pathname]) {
      const type = types[extname(files[pathname])];
      response.writeHead(200, { "content-type": type }).end(await readFile(new URL(files[pathname], import.meta.url)));
    } else {
      response.writeHead(404).end();
    }
  };
}

if (import.meta.filename === process.argv[1]) {
  const [, , issuer, clientId] = process.argv;
  createServer(pages({ issuer, clientId })).listen(3000, "localhost");
  console.log("open http://localhost:3000");
}
