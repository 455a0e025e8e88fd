# frozen_string_literal: true

# Handlers for the tests: methods outside any class, and methods of classes.

require 'logger'

COUNT = [0]

def echo(event:, context:)
  event
end

def members(event:, context:)
  {
    id: context.aws_request_id, group: context.log_group_name, stream: context.log_stream_name,
    name: context.function_name, version: context.function_version, arn: context.invoked_function_arn,
    memory: context.memory_limit_in_mb, remaining: context.get_remaining_time_in_millis.positive?,
    deadline: context.deadline_ms.class.to_s, tenant: context.tenant_id, identity: context.identity,
    client: context.client_context, trace: ENV['_X_AMZN_TRACE_ID'], frozen: event.frozen?
  }
end

def keywords(event:, **)
  event
end

def nothing(event:, context:); end

def symbols(event:, context:)
  { a: :b, 'c' => [1, 2.5, nil, true], text: 'grüße' }
end

def stream(event:, context:)
  StringIO.new("raw: #{event}")
end

def state(event:, context:)
  COUNT[0] += 1
end

def prints(event:, context:)
  puts "one\ntwo"
  puts ['three', ['four']]
  puts
  print 'printed '
  p({ 'a' => 1 })
  $stdout.puts 'straight'
  warn 'to stderr'
  nil
end

def logs(event:, context:)
  logger = Logger.new($stdout, progname: event)
  logger.debug('debug')
  logger.info("info ü\nsecond")
  logger.warn { 'from a block' }
  begin
    raise ArgumentError, 'bad'
  rescue ArgumentError => e
    logger.error(e)
  end
  Logger.new($stderr, formatter: proc { |severity, _, _, message| "#{severity}: #{message}\n" }).info('own format')
  nil
end

def raises(event:, context:)
  raise ArgumentError, "no good: #{event}"
end

class CustomError < StandardError; end

def raises_custom(event:, context:)
  raise CustomError, "grüße\nsecond line"
end

def no_method(event:, context:)
  nil.length
end

def no_name(event:, context:)
  undefined_name
end

def exits(event:, context:)
  exit 5
end

def exits_hard(event:, context:)
  exit! 6
end

def overflows(event:, context:)
  overflows(event: event, context: context)
end

def bad_result(event:, context:)
  loop_ = []
  loop_ << loop_
end

def positional(both)
  both.keys
end

def loads_gems_late(event:, context:)
  before = Object.autoload?(:Gem)
  begin
    require 'no_such_gem'
  rescue LoadError => e
    error = e.message
  end
  { before: before, error: error, after: Gem::VERSION.class.to_s, still: Object.autoload?(:Gem) }
end

def asks_for_gem(event:, context:)
  [defined?(Gem), Gem::Version.new('1.2') < Gem::Version.new('1.10')]
end

def path(event:, context:)
  $LOAD_PATH.first(3)
end

class Shop
  def self.open(event:, context:)
    "open #{event}"
  end

  module Inner
    class Door
      def self.knock(event:, context:)
        "knock #{event}"
      end
    end
  end
end
