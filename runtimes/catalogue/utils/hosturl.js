// Says at which URL an action or trigger of the caller's namespace is invoked: relative, where the runtime is not told
// the host.
const EXTENSIONS = [".json", ".text", ".html", ".http", ".svg"];

function main({ path, web = false, ext = ".json", trigger = false }) {
  if (path !== undefined && typeof path !== "string") return { error: "path must be a text" };
  if (web && trigger) return { error: "a trigger has no URL as a web action" };
  if (web && !EXTENSIONS.includes(ext)) return { error: `ext must be one of ${EXTENSIONS.join(", ")}` };
  if (trigger && path && path.includes("/")) return { error: "triggers are not in packages" };
  const { __OW_API_HOST: host = "", __OW_NAMESPACE: namespace } = process.env;
  const base = web ? `web/${namespace}` : `namespaces/${namespace}/${trigger ? "triggers" : "actions"}`;
  const url = `${host}/api/v1/${base}`;
  if (!path) return { url };
  if (!web) return { url: `${url}/${path}` };
  return { url: `${url}/${path.includes("/") ? path : `default/${path}`}${ext}` };
}
