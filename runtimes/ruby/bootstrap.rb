# frozen_string_literal: true

# The Ruby runtime client (Ruby 3.1 and later): loads the handler, then asks the Runtime API for events for ever.
#
# It is started without RubyGems: loading them is most of an interpreter's start, and many functions need none. See
# lamplighter_runtime/gems.rb. What it is not: it neither limits nor times anything (the platform does).
#
# Defined by: https://docs.aws.amazon.com/lambda/latest/dg/ruby-handler.html and
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

# AWS's runtime has loaded these when the function's code begins, and functions rely on it.
require 'json'
require 'logger'
require 'stringio'
module Net
  autoload :HTTP, 'net/http'
end

require_relative 'lamplighter_runtime/gems'
require_relative 'lamplighter_runtime/api'
require_relative 'lamplighter_runtime/context'
require_relative 'lamplighter_runtime/errors'
require_relative 'lamplighter_runtime/handler'
require_relative 'lamplighter_runtime/logs'

module LamplighterRuntime
  # What the process exits with, as on AWS.
  EXIT_AFTER_CRITICAL = 255
  EXIT_AFTER_INIT_ERROR = 252

  class << self
    def main
      task_root = ENV.fetch('LAMBDA_TASK_ROOT', '/var/task')
      $stdout.sync = true
      Logs.install(ENV.delete('_LAMBDA_TELEMETRY_LOG_FD'))
      api = Api.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API'))
      handler = load_handler(api, task_root)
      serve(api, handler)
    end

    private

    # `rescue Exception`: whatever a file does while it is loaded (exit, a syntax error) is an error in initialisation.
    def load_handler(api, task_root)
      $LOAD_PATH.unshift(task_root) unless $LOAD_PATH.include?(task_root)
      Gems.install(task_root)
      handler = LambdaHandler.new(ENV.fetch('_HANDLER', ''))
      require handler.handler_file_name
      handler
    rescue Exception => e # rubocop:disable Lint/RescueException
      report = ErrorReport.new(e, 'Init')
      Logs.error("Init error when loading handler #{ENV.fetch('_HANDLER', '')}", report)
      api.fail_initialisation(report)
      exit!(EXIT_AFTER_INIT_ERROR)
    end

    def serve(api, handler)
      event = api.next
      loop do
        request_id = $_global_aws_request_id = event['Lambda-Runtime-Aws-Request-Id']
        ENV['_X_AMZN_TRACE_ID'] = event['Lambda-Runtime-Trace-Id']
        begin
          context = LambdaContext.new(event)
          payload, content_type = handler.invoke(AwsLambda::Marshaller.marshall_request(event), context)
        rescue Exception => e # rubocop:disable Lint/RescueException
          event = fail_then_next(api, request_id, e)
        else
          event = api.answer_then_next(request_id, payload, content_type || 'application/json')
        end
      end
    rescue SignalException
      exit(0)
    end

    # An error that means the code itself is broken (no such method, no such name), or that no handler may catch
    # (exit), ends the process after it was answered: so does AWS's runtime.
    def fail_then_next(api, request_id, error)
      critical = !error.is_a?(StandardError) || error.is_a?(NameError)
      report = ErrorReport.new(error, 'Function')
      Logs.error(critical ? 'Critical exception from handler' : 'Error raised from handler method', report)
      return api.fail_then_next(request_id, report) unless critical

      api.fail(request_id, report)
      exit!(EXIT_AFTER_CRITICAL)
    end
  end
end

# A worker that was started ahead knows its function when this returns.
if (descriptor = ENV['LAMPLIGHTER_BIND_FD'])
  require_relative 'lamplighter_runtime/worker'
  LamplighterRuntime::Worker.wait_for_function(descriptor)
end

LamplighterRuntime.main
