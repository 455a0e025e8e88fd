# frozen_string_literal: true

# The Runtime API as its one client sees it: HTTP/1.1 over one kept connection, on a bare socket.
#
# The answer to one event and the question for the next go out in one write (pipelined): the platform sees two ordinary
# requests, the process is woken up once instead of twice.
#
# Defined by: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

require 'socket'

module LamplighterRuntime
  # An answer of the Runtime API, or an event: status, headers (by any spelling) and body.
  class Message
    attr_reader :status, :body

    def initialize(status, headers, body)
      @status = status
      @headers = headers
      @body = body
    end

    def [](name)
      @headers[name.downcase]
    end
  end

  class Api
    PATH = '/2018-06-01/runtime/'
    CHUNK = 65_536
    # The platform's servers refuse huge headers. The cause is for tracing only.
    MAX_CAUSE = 16 * 1024
    # What a closed connection looks like, besides the end of its data.
    CLOSED = [EOFError, Errno::ECONNRESET, Errno::EPIPE].freeze

    def initialize(address)
      host, _, port = address.rpartition(':')
      @host = host.delete('[]')
      @port = Integer(port)
      @socket = nil
      @pending = String.new(encoding: Encoding::BINARY)
      @common = " HTTP/1.1\r\nHost: #{address}\r\nUser-Agent: lamplighter-ruby\r\n"
      @next = "GET #{PATH}invocation/next#{@common}\r\n".b
    end

    # Waits for an event.
    def next
      transmit(@next)
      receive_event
    end

    # Answers an event, then waits for the next.
    def answer_then_next(request_id, payload, content_type)
      post_then_next(post("invocation/#{request_id}/response", "Content-Type: #{content_type}\r\n", payload))
    end

    # Answers an event with an error, then waits for the next.
    def fail_then_next(request_id, report)
      post_then_next(error_of(request_id, report))
    end

    # Answers an event with an error. The caller exits next.
    def fail(request_id, report)
      transmit(error_of(request_id, report))
      receive
    end

    # Tells that no event can be served. The caller exits next.
    def fail_initialisation(report)
      transmit(post('init/error', error_headers(report), report.to_json))
      receive
    end

    def connect
      @socket = Socket.tcp(@host, @port)
      @socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
      @socket
    end

    # Ends the connection.
    def close
      @socket.close
      @socket = nil
      @pending = String.new(encoding: Encoding::BINARY)
    end

    private

    def error_of(request_id, report)
      headers = error_headers(report)
      cause = report.cause
      headers += "Lambda-Runtime-Function-XRay-Error-Cause: #{cause}\r\n" if cause.bytesize <= MAX_CAUSE
      post("invocation/#{request_id}/error", headers, report.to_json)
    end

    def error_headers(report)
      "Content-Type: application/vnd.aws.lambda.error+json\r\n" \
        "Lambda-Runtime-Function-Error-Type: #{report.header_type}\r\n"
    end

    def post(path, headers, payload)
      payload = payload.b
      "POST #{PATH}#{path}#{@common}#{headers}Content-Length: #{payload.bytesize}\r\n\r\n".b << payload
    end

    def post_then_next(request)
      transmit(request << @next)
      # A refusal (too large, too late) is the platform's to report: the function goes on with the next event.
      receive
      begin
        return receive_event if @socket
      rescue *CLOSED
        close
      end
      # The platform closed the connection after its answer: the question for the next event was not read.
      self.next
    end

    def receive_event
      event = receive
      return event if event.status == 200

      raise "the Runtime API answered #{event.status} to a request for the next event: #{event.body}"
    end

    def transmit(request)
      connect unless @socket
      @socket.write(request)
    end

    def more
      @socket.readpartial(CHUNK)
    end

    def receive
      data = @pending.empty? ? more : @pending
      data << more until (stop = data.index("\r\n\r\n"))
      status_line, *lines = data.byteslice(0, stop).force_encoding(Encoding::UTF_8).split("\r\n")
      headers = lines.to_h do |line|
        name, _, value = line.partition(':')
        [name.downcase, value.strip]
      end
      data = data.byteslice(stop + 4..)
      body = headers['transfer-encoding'] == 'chunked' ? chunks(data) : sized(data, headers['content-length'].to_i)
      close if headers['connection'] == 'close'
      Message.new(status_line[9, 3].to_i, headers, body.force_encoding(Encoding::UTF_8))
    end

    def sized(data, length)
      missing = length - data.bytesize
      data << @socket.read(missing) if missing.positive?
      raise EOFError if data.bytesize < length

      @pending = data.byteslice(length..)
      data.bytesize == length ? data : data.byteslice(0, length)
    end

    def chunks(data)
      body = String.new(encoding: Encoding::BINARY)
      loop do
        data << more until (stop = data.index("\r\n"))
        size = data.byteslice(0, stop).to_i(16)
        data = data.byteslice(stop + 2..)
        data << more while data.bytesize < size + 2
        body << data.byteslice(0, size)
        data = data.byteslice(size + 2..)
        break if size.zero?
      end
      @pending = data
      body
    end
  end
end
