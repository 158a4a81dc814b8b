import { getCsrfToken } from "next-auth/react";
import { newTraceparent } from "./trace";

/** Problem is a refused or failed call: an RFC 9457 document of the gateway, or status 0 when no answer came at all. */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    readonly reason: string,
    readonly detail: string,
    /** What to quote to support; empty when the gateway was not reached. */
    readonly requestId: string,
    readonly fields: readonly { field: string; description: string }[] = [],
    /** Seconds after which trying again makes sense; 0 when the server did not say. */
    readonly retryAfter = 0,
  ) {
    super(`${status} ${reason}`);
  }
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

/**
 * request calls the gateway with the browser's session and returns the answer's JSON.
 * Calls that change something carry the anti-CSRF proof. It throws a Problem, or an AbortError when signal fired.
 */
export async function request<T>(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers = new Headers({ Accept: "application/json", traceparent: newTraceparent() });
  if (body !== undefined) headers.set("Content-Type", "application/json");
  if (method !== "GET") headers.set("X-CSRF-Token", (await getCsrfToken()) ?? "");

  const init: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;

  const response = await fetch(path, init).catch((cause: unknown) => {
    if (signal?.aborted) throw cause;
    throw new Problem(0, "UNREACHABLE", "", "");
  });
  if (!response.ok) throw await problemOf(response);
  return (await response.json()) as T;
}

async function problemOf(response: Response): Promise<Problem> {
  // Something between here and the gateway may answer with a page of its own.
  const document = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const text = (name: string) => (typeof document[name] === "string" ? document[name] : "");
  const fields = Array.isArray(document.errors) ? document.errors : [];
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  return new Problem(response.status, text("reason"), text("detail"), text("requestId"), fields, retryAfter);
}
