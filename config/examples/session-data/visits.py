# Counts visits and keeps a cart in the browser's session, with nothing but the standard library.
import json
from wsgiref.simple_server import make_server

def app(environ, start_response):
    data = json.loads(environ.get("HTTP_SESSION_DATA", "{}"))
    cart = data.get("cart", [])
    headers = [("Content-Type", "text/plain"), ("Session-Increment", '{"visits": 1}')]
    if environ["PATH_INFO"].startswith("/add/"):
        cart.append(environ["PATH_INFO"][5:])
        headers.append(("Session-Set", json.dumps({"cart": cart})))
    start_response("200 OK", headers)
    return [f"visit {data.get('visits', 0) + 1}, cart: {json.dumps(cart)}\n".encode()]

make_server("127.0.0.1", 8081, app).serve_forever()
