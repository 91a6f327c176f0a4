# frozen_string_literal: true

# The program of ruby actions: the launcher starts it, one process for each run at a time, and speaks OpenWhisk's
# ActionLoop with it. See docs/runtimes.md.

require "json"

module Weft
  # What is nested deeper is a circle, or might as well be one.
  NESTING_MAX = 1000

  # Handed to a main that takes a second argument.
  class Context
    attr_reader :activation_id, :deadline, :traceparent

    def initialize(call)
      @activation_id = call["activation_id"].to_s
      @deadline = call["deadline"].to_i
      @traceparent = call["traceparent"].to_s
      @ends = Context.now + call["remaining_ms"].to_f / 1000
      @cancelled = false
      @told, @tell = IO.pipe
    end

    def remaining_ms
      [0, ((@ends - Context.now) * 1000).to_i].max
    end

    # Whether nobody waits for the answer any more.
    def cancelled?
      @cancelled
    end

    # Waits until the run is cancelled, or so many seconds; says whether it is.
    def wait(seconds = nil)
      @told.wait_readable(seconds) unless @cancelled
      @cancelled
    end

    # Runs in a signal handler, where nothing may be locked.
    def cancel
      @cancelled = true
      @tell.close unless @tell.closed?
    end

    def close
      @told.close
      @tell.close
    end

    def self.now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end

  # The code is not what it should be; the message says how.
  class Unloadable < StandardError; end

  class Loop
    def initialize
      # Descriptors of our own, because children of the action and `gets` would take what is for us.
      @requests = IO.new(STDIN.fcntl(FCNTL_DUP, 10), "r:UTF-8")
      $stdin.reopen(File::NULL)
      @answers = IO.new(3, "w:UTF-8")
      [@requests, @answers].each { |io| io.close_on_exec = true }
      $stdout.sync = $stderr.sync = @answers.sync = true
      Encoding.default_external = Encoding::UTF_8
      @directory = ENV.fetch("WEFT_ACTION_DIR")
      @name = ENV.fetch("WEFT_ACTION_MAIN", "main")
      @pid = Process.pid
      @context = nil
      # Without a run there is nothing to cancel.
      trap("TERM") { @context&.cancel }
    end

    def serve
      load_action
      answer(ok: true)
      while (line = @requests.gets)
        run(JSON.parse(mended(line), max_nesting: NESTING_MAX))
      end
    end

    private

    FCNTL_DUP = 1030 # F_DUPFD_CLOEXEC of Linux
    private_constant :FCNTL_DUP

    def load_action
      @main = main_of(source)
      @takes = arguments_taken
    rescue Unloadable => e
      refuse(e.message)
    rescue SyntaxError => e
      said = short(e.message)
      warn(said)
      where, what = said.match(/\A(\S+:\d+): (.*?)(?:\n|\z)/)&.captures
      # Newer parsers say what is wrong in a drawing below the line.
      what = said[/\^+\s*(.+)$/, 1] || what if what&.start_with?("syntax error found")
      refuse(where ? "SyntaxError: #{what} (#{where})" : "SyntaxError: #{said}")
    rescue SystemExit
      raise
    rescue Exception => e # whatever user code raises while it is loaded
      tell(e)
      refuse("#{e.class}: #{e.message}")
    end

    def source
      if (file = ENV["WEFT_ACTION_FILE"])
        file
      else
        find_gems
        $LOAD_PATH.unshift(@directory, File.join(@directory, "lib"))
        file = File.join(@directory, "main.rb")
        raise Unloadable, "the archive has no main.rb" unless File.file?(file)

        file
      end
    end

    # Gems that came along: where bundler puts them, with their own native code.
    def find_gems
      found = %w[vendor/bundle bundle].map { |path| File.join(@directory, path, "ruby", RbConfig::CONFIG["ruby_version"]) }
                                      .select { |path| File.directory?(path) }
      Gem.paths = { "GEM_PATH" => (found + Gem.path).join(File::PATH_SEPARATOR), "GEM_HOME" => Gem.dir } unless found.empty?
    end

    # "main", or "Module.main".
    def main_of(file)
      before = Object.private_instance_methods(false)
      load(file)
      *path, name = @name.split(/\.|::/)
      owner = path.inject(Object) { |at, part| at.const_get(part) }
      receiver = path.empty? ? TOPLEVEL_BINDING.receiver : owner
      return receiver.method(name) if receiver.respond_to?(name, path.empty?)

      names = (Object.private_instance_methods(false) - before).sort
      raise Unloadable, "no function \"#{@name}\"; the code defines #{names.empty? ? "no function" : names.join(", ")}"
    end

    # How many of (params, context) it takes. A second argument with a default is the user's own.
    def arguments_taken
      kinds = @main.parameters
      return 2 if kinds.any? { |kind, _| kind == :rest }

      positional = kinds.select { |kind, _| %i[req opt].include?(kind) }
      wanted = positional.count { |kind, name| kind == :req || name == :context }
      [2, [wanted, [1, positional.size].min].max].min
    end

    def run(call)
      context = @context = Context.new(call)
      environment(call)
      result = judge(@main.call(*[call["value"], context].first(@takes)))
    rescue SystemExit
      raise
    rescue Exception => e # whatever user code raises: its own answer
      result = raised(e)
    ensure
      exit!(0) if Process.pid != @pid # a child that user code forked and let return
      @context = nil
      context&.close
      if result
        $stdout.flush
        $stderr.flush
        @answers.write(result, "\n")
      end
    end

    def judge(value)
      unless value.is_a?(Hash) || value.is_a?(Array)
        return JSON.generate(weft_developer_error: "The action did not return a dictionary or array.")
      end

      begin
        JSON.generate(value, max_nesting: NESTING_MAX)
      rescue JSON::JSONError, EncodingError, SystemStackError => e
        JSON.generate(weft_developer_error: "The action's result cannot be written as JSON: #{printable(e.message)}")
      end
    end

    def raised(error)
      tell(error)
      JSON.generate(error: printable(error.message.empty? ? error.class.name : error.message))
    end

    def environment(call)
      %w[activation_id namespace action_name action_version transaction_id deadline api_key].each do |key|
        ENV["__OW_#{key.upcase}"] = call[key]
      end
      ENV["WEFT_TRACEPARENT"] = call["traceparent"]
    end

    # The error with its trace, without our own frames.
    def tell(error)
      one = error
      while one
        one.set_backtrace((one.backtrace || []).reject { |frame| frame.start_with?("#{__FILE__}:") })
        one = one.cause
      end
      warn(short(error.full_message(highlight: false, order: :top)))
    end

    def short(text)
      printable(text).gsub("#{@directory}/", "")
    end

    def printable(text)
      text.encode("UTF-8", invalid: :replace, undef: :replace).scrub
    end

    # Half of a surrogate pair, for which UTF-8 has no bytes, becomes the sign for what cannot be said.
    def mended(line)
      return line unless line.match?(/\\u[dD][89abAB]/) || line.match?(/\\u[dD][c-fC-F]/)

      line.gsub(/\\\\|\\u[dD][89abAB]\h{2}\\u[dD][c-fC-F]\h{2}|\\u[dD][89a-fA-F]\h{2}/) do |found|
        found.size == 6 ? '\ufffd' : found
      end
    end

    def refuse(problem)
      answer(error: printable(problem))
      exit!(0)
    end

    def answer(value)
      @answers.write(JSON.generate(value), "\n")
    end
  end
end

Weft::Loop.new.serve
