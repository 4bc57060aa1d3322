// Counts visits and keeps a cart in the browser's session, with nothing but the JDK. Run it: java Visits.java
//
// The JDK reads no JSON, so the cart is one text and the two values are found by pattern; with a JSON library
// at hand, parse Session-Data with that.
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.regex.Pattern;

class Visits {
    static String value(String data, String pattern, String otherwise) {
        var found = Pattern.compile(pattern).matcher(data == null ? "" : data);
        return found.find() ? found.group(1) : otherwise;
    }

    public static void main(String[] args) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 8081), 0);
        server.createContext("/", exchange -> {
            var data = exchange.getRequestHeaders().getFirst("Session-Data");
            var cart = value(data, "\"cart\":\"([^\"]*)\"", "");
            var path = exchange.getRequestURI().getPath();
            exchange.getResponseHeaders().add("Session-Increment", "{\"visits\": 1}");
            if (path.matches("/add/[\\w-]+")) {
                cart += (cart.isEmpty() ? "" : ", ") + path.substring(5);
                exchange.getResponseHeaders().add("Session-Set", "{\"cart\": \"" + cart + "\"}");
            }
            var visits = Integer.parseInt(value(data, "\"visits\":(\\d+)", "0")) + 1;
            var page = ("visit " + visits + ", cart: [" + cart + "]\n").getBytes();
            exchange.sendResponseHeaders(200, page.length);
            exchange.getResponseBody().write(page);
            exchange.close();
        });
        server.start();
    }
}
