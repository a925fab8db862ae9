// No authentication.
const auth = { missing: () => null, headers: () => ({}), rejected: () => null };
