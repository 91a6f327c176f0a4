# frozen_string_literal: true

# Looks through an action's code for mistakes, and runs nothing of it: what the launcher's build mode starts.
# runtimes/launcher/build.go says what it finds, and reads the places out of what is printed.

# Files that are looked at.
FILES_MAX = 200
# Folders of what others wrote.
BROUGHT = %w[vendor/ bundle/].freeze

def entry
  file = ENV.fetch("WEFT_SOURCE_FILE", "")
  return file unless file.empty?

  abort "the archive has no main.rb: pack the folder's content, not the folder" unless File.file?("main.rb")
  "main.rb"
end

# Own files that a file requires by name. What nothing requires may be anything.
def named(path)
  File.read(path, encoding: "UTF-8").scrub.scan(/^\s*(require|require_relative)[\s(]+["']([^"'#]+)["']/).filter_map do |how, name|
    bases = how == "require" ? [".", "lib"] : [File.dirname(path)]
    found = bases.map { |base| "#{File.join(base, name).delete_suffix(".rb")}.rb" }.find { |one| File.file?(one) }
    found&.delete_prefix("./")
  end
end

# Nil when nothing is wrong.
def mistake_in(path)
  RubyVM::InstructionSequence.compile(File.read(path, encoding: "UTF-8"), path)
  nil
rescue SyntaxError, EncodingError => e
  said = e.message.force_encoding("UTF-8").scrub
  where, what = said.match(/\A(\S+:\d+): (.*?)(?:\n|\z)/)&.captures
  # Newer parsers say what is wrong in a drawing below the line.
  what = said[/\^+\s*(.+)$/, 1] || what if what&.start_with?("syntax error found")
  "#{where || "#{path}:1"}: SyntaxError: #{what || said.lines.first&.strip}"
end

seen = [entry]
seen.each do |path| # it grows
  (named(path) - seen).each { |one| seen << one if seen.size < FILES_MAX && !one.start_with?(*BROUGHT) }
end
mistakes = seen.filter_map { |path| mistake_in(path) }
abort mistakes.join("\n") unless mistakes.empty?
