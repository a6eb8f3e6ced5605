// The module's routes, relative to the page, so that a proxy may put a prefix
// before them.

const ANSWER_TIMEOUT = 10_000;

/** An answer with a 4xx or 5xx status: the module, or the host, is there. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** No answer: the host is gone, or does not answer in time. */
export class NoAnswer extends Error {}

let token = sessionStorage.getItem("token");

async function request(route, options) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  let text;
  try {
    response = await fetch(route, {
      ...options,
      headers,
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(ANSWER_TIMEOUT),
    });
    text = await response.text();
  } catch (error) {
    throw new NoAnswer(error.name === "TimeoutError" ? "no answer in time" : "no connection");
  }
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = undefined;
  }
  if (response.ok && answer !== undefined) return answer;
  const said = answer?.error ?? (text.trim().slice(0, 300) || "the answer is empty");
  throw new Refused(response.status, `${said} (HTTP ${response.status})`);
}

/** The answer of a GET, with parameters in the query. */
export function get(route, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  return request(query ? `${route}?${query}` : route, { method: "GET" });
}

/**
 * The answer of a POST. A host may ask for a token before it lets anyone change
 * something: `askForToken` then asks the operator, and the token is kept until
 * the browser's tab is closed.
 */
export async function post(route, body, askForToken) {
  const options = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  try {
    return await request(route, options);
  } catch (error) {
    if (error.status !== 401) throw error;
    token = await askForToken();
    if (!token) throw error;
    sessionStorage.setItem("token", token);
    return request(route, options);
  }
}
