/**
 * newTraceparent begins the trace of one call (W3C Trace Context, section 3.2), so that the call here, in the browser's tools,
 * can be found again at the server. It names the call, is another one each time, and says nothing of the person.
 */
export function newTraceparent(): string {
  return `00-${randomHex(16)}-${randomHex(8)}-01`;
}

function randomHex(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
