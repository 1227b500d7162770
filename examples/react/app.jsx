// A page with React: who is signed in, signing in and out, and a call of the API.

import { createClient } from "gatepass";
import { GatepassProvider, useAuth, useFetch } from "gatepass/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

const makeClient = () =>
  createClient({
    issuer: "https://login.example.com",
    clientId: "my-page",
    redirectUri: "https://app.example.com/callback",
    scope: "openid profile",
    resource: "https://api.example.com",
  });

function Page() {
  const { status, user, error, signIn, signOut } = useAuth();
  const call = useFetch();
  const [answer, setAnswer] = useState("");
  if (status === "loading") return <p>One moment</p>;
  if (status === "failed") return <p>That went wrong: {error.code}</p>;
  if (status === "signedOut") {
    return <button onClick={() => signIn({ returnTo: "/inbox" })}>Sign in</button>;
  }
  const ask = async () => setAnswer(await (await call("https://api.example.com/me")).text());
  return (
    <>
      <p>Hello {user.name}</p>
      <button onClick={ask}>Call</button>
      <pre>{answer}</pre>
      <button onClick={signOut}>Sign out</button>
    </>
  );
}

export const App = () => (
  <StrictMode>
    <GatepassProvider
      client={makeClient}
      isCallback={() => location.pathname === "/callback"}
      onSignedIn={({ returnTo }) => history.replaceState(null, "", returnTo ?? "/")}
    >
      <Page />
    </GatepassProvider>
  </StrictMode>
);

// On a server there is no page to put it into.
if (typeof document !== "undefined") createRoot(document.querySelector("#root")).render(<App />);
