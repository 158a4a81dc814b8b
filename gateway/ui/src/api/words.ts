import type { Problem } from "./request";

/** inWords tells a person what went wrong and what they can do about it. */
export function inWords(problem: Problem): string {
  switch (problem.status) {
    case 0:
      return "RealGuardIO cannot be reached. Check your connection.";
    case 400:
      return problem.fields.map((f) => `${f.field}: ${f.description}`).join("; ") || problem.detail;
    case 403:
      return problem.reason.includes("CSRF") || problem.reason.includes("ORIGIN")
        ? "This page was open for too long. Load it again and repeat what you did."
        : "You do not have the right to do this here.";
    case 404:
      return "This does not exist, or you may not see it.";
    case 409:
      return problem.reason === "ETAG_MISMATCH"
        ? "Somebody changed this system a moment ago. This is its state now; please look at it and try again."
        : sentence(problem.detail) || "This is not possible in the state the system is in.";
    case 429:
      return `Too many requests. Try again in ${seconds(problem.retryAfter || 10)}.`;
    case 502:
    case 503:
    case 504:
      return "A part of RealGuardIO cannot be reached at the moment. Check the state below and try again shortly.";
    default:
      return "Something went wrong on our side. Try again; if it happens again, tell support the number below.";
  }
}

function sentence(text: string): string {
  if (!text) return "";
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

function seconds(n: number): string {
  return n === 1 ? "a second" : `${n} seconds`;
}
