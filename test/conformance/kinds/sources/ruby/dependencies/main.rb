require "weft_greeting"

def main(_args)
  { greeting: WEFT_GREETING }
end
