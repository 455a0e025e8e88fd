# frozen_string_literal: true

# Errors as AWS reports them: the document that is posted, its type as a header, and the cause for tracing.
#
# Defined by: https://docs.aws.amazon.com/lambda/latest/dg/ruby-exceptions.html

module LamplighterRuntime
  class ErrorReport
    OWN_DIR = File.dirname(__dir__) + File::SEPARATOR
    MAX_FRAMES = 100
    # Types that may be told outside; any other is "UserException" there.
    TOLD = %w[
      ArgumentError NoMethodError Exception StandardError NameError LoadError SystemExit SystemStackError
    ].freeze

    attr_reader :message, :type, :stack

    # `phase`: "Init" or "Function".
    def initialize(error, phase)
      @name = error.class.to_s
      @message = utf8(error.message)
      @type = "#{phase}<#{@name}>"
      @stack = (error.backtrace || []).first(MAX_FRAMES).map { |line| utf8(line) }
      @stack.reject! { |line| line.start_with?(OWN_DIR) }
    end

    def to_h
      { errorMessage: @message, errorType: @type, stackTrace: @stack }
    end

    def to_json(*)
      JSON.generate(to_h)
    end

    def header_type
      TOLD.include?(@name) ? @type : 'Function<UserException>'
    end

    # JSON for the tracing service, in ASCII: it is a header.
    def cause
      frames = @stack.map do |line|
        path, number, label = line.match(/\A(.+):(\d+):in [`'](.*)'\z/)&.captures
        { path: path || line, line: number.to_i, label: label.to_s }
      end
      document = {
        working_directory: Dir.pwd,
        exceptions: [{ message: @message, type: @type, stack: frames }],
        paths: frames.map { |frame| frame[:path] }.uniq
      }
      JSON.generate(document, ascii_only: true)
    end

    private

    def utf8(text)
      text.to_s.dup.force_encoding(Encoding::UTF_8).scrub
    end
  end
end
