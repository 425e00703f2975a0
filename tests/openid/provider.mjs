// An OpenID provider on loopback, of a certified implementation: whoever is named in the accounts
// may sign in, with any password. Arguments: accounts as JSON, {name: [role, ...]}.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const accounts = JSON.parse(process.argv[2]);
const callback = "/console/sign-in/callback";

// Programs on a person's own machine may come back to any port of it (RFC 8252).
const loopback = {
  application_type: "native",
  redirect_uris: [`http://127.0.0.1${callback}`],
  response_types: ["code"],
  grant_types: ["authorization_code"],
};

const server = createServer();
server.listen(0, "localhost", () => {
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      { ...loopback, client_id: "console", token_endpoint_auth_method: "none" },
      {
        ...loopback,
        client_id: "console-with-secret",
        client_secret: "a secret of the issuer's: 100 % / + &",
        token_endpoint_auth_method: "client_secret_basic",
      },
    ],
    pkce: { required: () => true },
    claims: { openid: ["sub", "roles"], profile: ["preferred_username"], email: ["email"] },
    conformIdTokenClaims: false,
    cookies: { keys: ["tests"] },
    ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
    async findAccount(_, name) {
      if (!(name in accounts)) return undefined;
      const claims = { sub: name, preferred_username: `${name}@example.org`, roles: accounts[name] };
      return { accountId: name, claims: async () => claims };
    },
  });
  provider.on("server_error", (_, error) => console.error(error));
  server.on("request", provider.callback());
  console.log(`listens on ${issuer}`);
});
