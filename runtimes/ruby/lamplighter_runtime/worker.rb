# frozen_string_literal: true

# A worker that is started before anybody knows its function: it waits until it is bound to one, takes over that
# function's environment, and goes on as any other start. Nothing of the time before may be seen afterwards, but that the
# process is older than its function.
#
# What is bound comes on the descriptor LAMPLIGHTER_BIND_FD, to its end: "cwd\0NAME=value\0NAME=value\0...".

module LamplighterRuntime
  module Worker
    BODY = '{"rehearsal":[1,"two",null,{"three":4.5}]}'

    class << self
      def wait_for_function(descriptor)
        rehearse
        GC.start
        binding = IO.for_fd(Integer(descriptor), 'rb')
        told = binding.read
        binding.close
        # Nobody wants it: the platform is gone.
        exit!(0) if told.empty?
        bind(told)
        forget
      end

      private

      def bind(told)
        cwd, *variables = told.split("\0")
        # Not `replace`: that would keep what both have in its old place.
        ENV.clear
        variables.each do |variable|
          name, value = variable.split('=', 2)
          ENV[name] = value
        end
        Dir.chdir(cwd)
        show_environment(told.byteslice(cwd.bytesize + 1..))
      end

      # The kernel shows the environment that a process was started with; ours was not the function's. There is room
      # for it, and nobody points there any more.
      def show_environment(block)
        fields = File.read('/proc/self/stat').rpartition(')').last.split
        start, stop = fields.values_at(47, 48).map(&:to_i)
        File.open('/proc/self/mem', 'r+b') do |memory|
          memory.sync = true
          memory.seek(start)
          memory.write(block.byteslice(0, stop - start).ljust(stop - start, "\0"))
        end
      rescue SystemCallError
        # There it shows the worker's own, which is no secret.
      end

      # What the first event needs, once. Without a thread: the kernel takes the connection before anybody serves it.
      def rehearse
        listener = TCPServer.new('127.0.0.1', 0)
        api = Api.new("127.0.0.1:#{listener.addr[1]}")
        platform = api.connect && listener.accept
        platform.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 0\r\n" \
                       "Lambda-Runtime-Deadline-Ms: 0\r\nContent-Length: #{BODY.bytesize}\r\n\r\n#{BODY}")
        event = api.next
        LambdaContext.new(event)
        AwsLambda::Marshaller.marshall_response(AwsLambda::Marshaller.marshall_request(event))
        api.close
      rescue SystemCallError
        # The first event takes a little longer.
      ensure
        platform&.close
        listener&.close
      end

      # No trace of the worker.
      def forget
        $LOADED_FEATURES.delete(__FILE__)
        LamplighterRuntime.send(:remove_const, :Worker)
      end
    end
  end
end
