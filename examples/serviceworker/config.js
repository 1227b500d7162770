// Yours.
export const issuer = "https://login.example.com";
export const clientId = "my-page";
export const api = "https://api.example.com";
