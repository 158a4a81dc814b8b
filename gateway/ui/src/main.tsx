import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import "./theme.css";
import "./base.css";
import "./shell/shell.css";
import "./systems/systems.css";
import "./welcome/welcome.css";

// A page that the browser kept whole and brings back with its back button may show what is over: a session, a state.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
