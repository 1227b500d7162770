// An API at the edge, behind the guard.

import { protect } from "gatepass/cloudflare";
import { createGuard } from "gatepass/guard";

export default protect(
  ({ ISSUER, AUDIENCE }) => createGuard({ issuer: ISSUER, audience: AUDIENCE, resource: AUDIENCE }),
  (_request, principal) => Response.json({ hello: principal.subject }),
  { scopes: ["read"] },
);
