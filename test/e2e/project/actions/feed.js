// A feed that takes everybody but those who ask for nothing.
function main({ lifecycleEvent, triggerName, authKey, every }) {
  if (lifecycleEvent === "CREATE" && !(every > 0)) return { error: "every must be above 0" };
  return { lifecycleEvent, triggerName, every, authorized: /^[^:]+:[^:]+$/.test(authKey) };
}
