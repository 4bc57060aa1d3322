// Counts visits and keeps a cart in the browser's session, with nothing but Node itself.
const ascii = (value) => JSON.stringify(value).replace(/[^ -~]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

require("http").createServer((request, response) => {
  const { visits = 0, cart = [] } = JSON.parse(request.headers["session-data"] ?? "{}");
  response.setHeader("Content-Type", "text/plain");
  response.setHeader("Session-Increment", '{"visits": 1}');
  if (request.url.startsWith("/add/")) {
    cart.push(request.url.slice(5));
    response.setHeader("Session-Set", ascii({ cart }));
  }
  response.end(`visit ${visits + 1}, cart: ${ascii(cart)}\n`);
}).listen(8081, "127.0.0.1");
