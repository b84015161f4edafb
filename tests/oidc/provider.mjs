// An identity provider for tests and for trying things out: oidc-provider (https://github.com/panva/node-oidc-provider) with a few people.
//
// Its sign-in page takes any password. Set by variables:
//   PORT              where it listens, on 127.0.0.1
//   PUBLIC_URL        the server that it signs people in for
//   CLAIMS_IN_TOKEN   set: the ID token has all claims; otherwise only the userinfo endpoint has them, as the standard prefers
//   ALGORITHM         how ID tokens are signed: RS256 (the default), PS256, ES256 or EdDSA

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const { PORT, PUBLIC_URL, CLAIMS_IN_TOKEN, ALGORITHM = 'RS256' } = process.env;
const issuer = `http://127.0.0.1:${PORT}`;

// Of whoever is not listed nothing is known.
const people = {
  ada: { name: 'Ada Lovelace', groups: ['data-admins', 'data'] },
  bob: { name: 'Bob', groups: ['data'] },
  eve: { name: 'Eve', groups: ['marketing'] },
  max: { name: 'Max', groups: ['data', 'reports'] },
};

const kinds = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
};
const { privateKey } = generateKeyPairSync(...kinds[ALGORITHM]);
const key = { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: ALGORITHM };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'minitower',
      client_secret: 'secret of the tests',
      redirect_uris: [`${PUBLIC_URL}/api/v1/auth/oidc/callback`],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      id_token_signed_response_alg: ALGORITHM,
    },
  ],
  jwks: { keys: [key] },
  cookies: { keys: [randomUUID()] },
  claims: { openid: ['sub'], profile: ['name', 'groups'] },
  conformIdTokenClaims: !CLAIMS_IN_TOKEN,
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  // Nobody is asked for consent: the client is the company's own.
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile email');
    await grant.save();
    return grant;
  },
});

createServer(provider.callback()).listen(Number(PORT), '127.0.0.1', () => console.log(`ready: ${issuer}`));
