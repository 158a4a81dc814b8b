// Loaded into a page by nextauth.test.mjs, so that it can call next-auth's functions one by one.
import * as nextAuth from "next-auth/react";

globalThis.nextAuth = nextAuth;
