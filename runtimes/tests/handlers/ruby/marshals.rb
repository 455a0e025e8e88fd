# frozen_string_literal: true

# A function may bring its own way from events to objects and back.
module AwsLambda
  class Marshaller
    class << self
      def marshall_request(raw_request)
        "own: #{raw_request.body}"
      end

      def marshall_response(response)
        ["<#{response}>", 'text/html']
      end
    end
  end
end

def handler(event:, context:)
  event
end
