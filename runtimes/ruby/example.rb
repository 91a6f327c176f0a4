# weft action create greet runtimes/ruby/example.rb && weft action invoke greet -p name Ada -r
def main(args)
  { greeting: "Hello, #{args["name"] || "stranger"}!" }
end
