import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The gateway serves what is built here under a Content-Security-Policy without 'unsafe-inline' and without data: scripts,
// so nothing may be inlined. public/.gitkeep ends up in dist/, which Go embeds and which therefore must exist in a clone.
export default defineConfig({
  plugins: [react()],
  define: {
    // next-auth/react reads these when it is loaded; in the browser it is always under /api/auth of its own origin.
    "process.env.NEXTAUTH_URL": "undefined",
    "process.env.NEXTAUTH_URL_INTERNAL": "undefined",
    "process.env.VERCEL_URL": "undefined",
  },
  build: {
    outDir: "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2024",
  },
  server: {
    // `npm run dev` beside a running `realguardio dev`. Signing in ends at the gateway's own origin.
    proxy: { "/api": process.env.REALGUARDIO_GATEWAY ?? "http://localhost:8080" },
  },
});
