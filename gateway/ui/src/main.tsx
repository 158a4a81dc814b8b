import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import "./theme.css";
import "./base.css";
import "./shell/shell.css";
import "./systems/systems.css";
import "./welcome/welcome.css";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
