"""What the tests of real apps share: child processes, the gateway, the apps, and a client that behaves like a browser."""
