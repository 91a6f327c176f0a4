// weft action create greet runtimes/deno/example.ts && weft action invoke greet -p name Ada -r
export function main(args: { readonly name?: string }): { readonly greeting: string } {
  return { greeting: `Hello, ${args.name ?? "stranger"}!` };
}
