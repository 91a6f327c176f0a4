# frozen_string_literal: true

# What an action of this language can be asked to do. ../../README.md says what each act is.

require "open3"
require "tmpdir"

LEFT_FILE = File.join(Dir.tmpdir, "left-behind")

def fails
  raise ArgumentError, "no luck" # @throw
end

def circle
  a = {}
  a["a"] = a
  a
end

def leaves(code)
  puts "last words"
  exit(code)
end

def hang
  puts "still here"
  loop { sleep 1 }
end

def eat
  puts "hungry"
  all = []
  loop { all << ("x" * (8 * 1024 * 1024)) }
end

def shell(command)
  _, stderr, status = Open3.capture3("sh", "-c", command)
  { code: status.exitstatus, stderr: stderr }
end

def prints(line, lines)
  lines.times { puts line }
  {}
end

def streams
  puts "out 1"
  warn "err 1"
  puts "out 2"
  warn "err 2"
  print "out 3"
  {}
end

def bytes(base64)
  $stdout.write("A\xFF\xFEB\n".b)
  { base64: [base64.unpack1("m0").reverse].pack("m0") }
end

def wait(milliseconds)
  sleep(milliseconds / 1000.0)
  { waited: milliseconds }
end

def until_cancelled(context)
  puts "waiting"
  context.wait
  { cancelled: true }
end

def leave
  ENV["LEFT_BEHIND"] = "yes"
  File.write(LEFT_FILE, "left")
  puts "left"
  {}
end

def look
  {
    leftBehind: ENV.fetch("LEFT_BEHIND", nil),
    file: File.exist?(LEFT_FILE),
    activationId: ENV.fetch("__OW_ACTIVATION_ID"),
    apiKey: ENV.fetch("__OW_API_KEY", nil)
  }
end

def late
  Thread.new do
    sleep 0.2
    puts "late"
  end
  {}
end

def main(params, context)
  case params["act"]
  when "echo" then params
  when "throw" then fails
  when "text" then "text"
  when "circle" then circle
  when "nothing" then nil
  when "array" then [1, "two", { three: 3 }]
  when "exit" then leaves(params["code"])
  when "hang" then hang
  when "eat" then eat
  when "shell" then shell(params["command"])
  when "print" then prints(params["line"], params["lines"])
  when "streams" then streams
  when "bytes" then bytes(params["base64"])
  when "environment" then { env: ENV.to_h, params: params }
  when "wait" then wait(params["ms"])
  when "until-cancelled" then until_cancelled(context)
  when "remaining" then { remainingMs: context.remaining_ms }
  when "fill" then { x: "x" * params["chars"] }
  when "leave" then leave
  when "look" then look
  when "late" then late
  else raise ArgumentError, "no such act"
  end
end

def other(_params)
  { other: true }
end
