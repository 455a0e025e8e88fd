# frozen_string_literal: true

# The function's log: `puts` and loggers on stdout write whole events in frames; loggers get AWS's format, as text or
# JSON. What is printed otherwise goes to stdout as it is.
#
# Framed: each event is preceded by 4 bytes that tell its format and level, 4 bytes of length and 8 bytes of time
# (microseconds since 1970), big endian, so that an event may have many lines.
#
# Defined by: https://docs.aws.amazon.com/lambda/latest/dg/ruby-logging.html

module LamplighterRuntime
  module Logs
    # Of AWS's names: Ruby has no TRACE.
    LEVELS = { 'TRACE' => 0, 'DEBUG' => 0, 'INFO' => 1, 'WARN' => 2, 'ERROR' => 3, 'FATAL' => 4 }.freeze
    MAGIC = 0xa55a0002
    TEXT = 1

    class << self
      # The lowest level that is wanted; nil: each logger's own.
      attr_reader :level

      def json?
        @json
      end

      # `fd`: where framed events go, as text; nil if they go to stdout without frames.
      def install(descriptor)
        @json = ENV.fetch('AWS_LAMBDA_LOG_FORMAT', '').casecmp?('JSON')
        @level = LEVELS[ENV.fetch('AWS_LAMBDA_LOG_LEVEL', '').upcase]
        @out = IO.for_fd(descriptor.to_i, 'wb', autoclose: false) if descriptor
        @out&.sync = true
        Logger.prepend(LoggerPatch)
        Kernel.prepend(Puts) if @out
      end

      # Writes one event.
      def write(text, kind = TEXT)
        return $stdout.write(text) unless @out

        data = text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).b
        now_us = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
        # One write: what other threads print cannot come between.
        @out.write([MAGIC | kind, data.bytesize, now_us].pack('L>L>Q>') << data)
        data.bytesize
      end

      # An error that the runtime reports to the platform.
      def error(title, report)
        if json?
          line = { timestamp: timestamp(Time.now), level: 'ERROR', message: title,
                   requestId: $_global_aws_request_id, **report.to_h }
          write("#{JSON.generate(line.compact)}\n", 0)
        else
          write("#{title}\n#{JSON.pretty_generate(report.to_h)}\n")
        end
      end

      def timestamp(time)
        time.getutc.strftime('%Y-%m-%dT%H:%M:%S.%6NZ')
      end
    end

    # `puts` writes one event, however many lines it has. `$stdout.puts` does not come by here.
    module Puts
      private

      def puts(*values)
        return super unless $stdout.equal?(STDOUT)

        text = StringIO.new
        text.puts(*values)
        Logs.write(text.string)
        nil
      end
    end

    # What a logger on stdout or stderr writes to.
    class Device
      def write(text)
        Logs.write(text, Logs.json? ? 0 : TEXT)
      end

      def close; end

      def reopen(*)
        self
      end
    end

    # Loggers that would write to stdout or stderr write to the function's log instead, in its format.
    module LoggerPatch
      def initialize(logdev = nil, *rest, **options)
        return super unless logdev.nil? || logdev.equal?($stdout) || logdev.equal?($stderr)

        options[:level] ||= Logs.level if Logs.level
        super(Device.new, *rest, **options)
        @default_formatter = Logs.json? ? JsonFormatter.new : TextFormatter.new
        @default_formatter.datetime_format = options[:datetime_format] if options[:datetime_format]
      end
    end

    # Ruby's own form, with the id of the request.
    class TextFormatter < ::Logger::Formatter
      def call(severity, time, progname, message)
        format("%s, [%s #%d] %5s %s -- %s: %s\n", severity[0], format_datetime(time), Process.pid, severity,
               $_global_aws_request_id, progname, msg2str(message))
      end
    end

    # One object a line.
    class JsonFormatter < ::Logger::Formatter
      def call(severity, time, progname, message)
        is_error = message.is_a?(Exception)
        line = {
          timestamp: Logs.timestamp(time),
          level: severity,
          message: clean(is_error ? message.message : msg2str(message)),
          requestId: $_global_aws_request_id,
          logger: progname && clean(progname)
        }
        line.update(describe(message)) if is_error
        "#{JSON.generate(line.compact)}\n"
      end

      private

      def describe(error)
        trace = Array(error.backtrace).map { |entry| clean(entry) }
        path, number, label = trace.first&.match(/\A(.+):(\d+):in [`'](.+)'\z/)&.captures
        {
          errorType: error.class.to_s,
          errorMessage: clean(error.message),
          stackTrace: trace,
          location: path ? "#{path}:#{label}:#{number}" : trace.first
        }
      end

      def clean(value)
        value.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
      end
    end
  end
end
