"""Who a request comes from: clients, their access tokens, and issuers of OpenID tokens."""
