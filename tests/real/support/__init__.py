"""What the tests of real apps share: child processes, the gateway, the apps, a client like a browser."""
