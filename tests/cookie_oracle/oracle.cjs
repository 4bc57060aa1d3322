// What tough-cookie does with a history of responses and requests: one line of JSON in, one out.
//
//   node oracle.cjs DIRECTORY      where node_modules lies
//
// In:  a list of {now, url, set} (a Set-Cookie line; bytes as characters below 256) and {now, url} (a request).
// Out: for each, whether the line was taken: false, or {expires: milliseconds or null}; or the Cookie line of the request.
"use strict";

const { createRequire } = require("node:module");
const { join } = require("node:path");
const { createInterface } = require("node:readline");

const { CookieJar } = createRequire(join(process.argv[2], "any.js"))("tough-cookie");

// It asks the clock itself, so the clock shows what the history says.
const RealDate = Date;
let now = 0;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length > 0 ? given : [now]));
  }
  static now() {
    return now;
  }
};

function set(jar, line, url) {
  let cookie;
  try {
    cookie = jar.setCookieSync(line, url, { loose: true });
  } catch {
    return false;
  }
  if (!cookie) return false;
  // Max-Age is counted from the last request that sent the cookie; RFC 6265 counts from the response.
  if (cookie.maxAge !== null) {
    // Between the ends of what a Date can be.
    cookie.expires = new Date(Math.min(Math.max(cookie.expiryTime(), 0), 8.64e15));
    cookie.maxAge = null;
  }
  if (cookie.expires === "Infinity" || cookie.expires === null) return { expires: null };
  return { expires: cookie.expires.getTime() };
}

// Expired cookies stay until a request meets them, and lend their age to a new one; RFC 6265 evicts them.
function evict(jar) {
  const inside = (object) => Object.values(object);
  for (const cookie of inside(jar.store.idx).flatMap(inside).flatMap(inside)) {
    if (cookie.expiryTime() <= now) jar.store.removeCookie(cookie.domain, cookie.path, cookie.key, () => {});
  }
}

function play(history) {
  const jar = new CookieJar(undefined, { looseMode: true });
  return history.map((step) => {
    now = step.now;
    evict(jar);
    if ("set" in step) return set(jar, step.set, step.url);
    return jar.getCookiesSync(step.url, { sort: true }).map((cookie) => cookie.cookieString()).join("; ");
  });
}

createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(JSON.stringify(play(JSON.parse(line))) + "\n");
});
