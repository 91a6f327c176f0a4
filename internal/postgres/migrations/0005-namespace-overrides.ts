export const namespaceOverrides = `
-- What differs from the installation's bounds for the actions of a namespace: JSON text of NamespaceOverrides, or null.
alter table namespaces add column overrides text;
`;
