<?php // Counts visits and keeps a cart in the browser's session. Run it: php -S 127.0.0.1:8081 visits.php
$data = json_decode($_SERVER['HTTP_SESSION_DATA'] ?? '{}', true);
$cart = $data['cart'] ?? [];
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
header('Content-Type: text/plain');
header('Session-Increment: {"visits": 1}');
if (str_starts_with($path, '/add/')) {
    $cart[] = substr($path, 5);
    header('Session-Set: ' . json_encode(['cart' => $cart]));
}
printf("visit %d, cart: %s\n", ($data['visits'] ?? 0) + 1, json_encode($cart));
