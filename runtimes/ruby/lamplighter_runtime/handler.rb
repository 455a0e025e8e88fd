# frozen_string_literal: true

# Finds and calls the handler: "file.method", or "file.Class.method" where the class may be in a module
# ("file.Outer::Class.method"). Events and results pass through a marshaller that a function may replace.
#
# Defined by: https://docs.aws.amazon.com/lambda/latest/dg/ruby-handler.html

module AwsLambda
  class Marshaller
    class << self
      # JSON, unless the event says that it is something else.
      def marshall_request(raw_request)
        raw_request['Content-Type'] == 'application/json' ? JSON.parse(raw_request.body) : raw_request.body
      end

      # The payload, and its content type if that is not JSON. An IO is passed on as it is.
      def marshall_response(method_response)
        case method_response
        when StringIO, IO then [method_response, 'application/unknown']
        else method_response.to_json
        end
      end
    end
  end
end

# Methods that a file defines outside any class are private methods of every object, so of this one too: its name is in
# the message of the error when there is no such method, as on AWS.
class LambdaHandler
  attr_reader :handler_file_name, :handler_method_name

  def initialize(name)
    parts = name.split('.')
    case parts.size
    when 2 then @handler_file_name, @handler_method_name = parts
    when 3 then @handler_file_name, @handler_class, @handler_method_name = parts
    else
      raise ArgumentError,
            "Invalid handler #{parts}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where FILENAME " \
            'corresponds with an existing Ruby source file FILENAME.rb, CLASS is an optional module/class namespace ' \
            'and METHOD is a callable method. If using CLASS, METHOD must be a class-level method.'
    end
  end

  # [payload, content type or nil]
  def invoke(event, context)
    receiver = @handler_class ? Kernel.const_get(@handler_class) : self
    result = receiver.__send__(@handler_method_name, event: event, context: context)
    payload, content_type = AwsLambda::Marshaller.marshall_response(result)
    payload = payload.read if payload.respond_to?(:read)
    [payload.to_s, content_type]
  end
end
