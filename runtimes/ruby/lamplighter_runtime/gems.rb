# frozen_string_literal: true

# RubyGems, as late as possible: at once if the function or a layer brings gems along, otherwise when the first
# `require` finds nothing without them, or when somebody asks for `Gem`. They cost more than everything else in a start.

module LamplighterRuntime
  module Gems
    class << self
      # Before the function's code is loaded.
      def install(task_root)
        return if defined?(::Gem)
        return require('rubygems') if %W[#{task_root}/vendor /opt/ruby/gems].any? { |dir| Dir.exist?(dir) }

        Object.autoload(:Gem, 'rubygems')
        Kernel.module_eval do
          alias_method :plain_require, :require
          # Only what goes wrong without RubyGems comes by here twice.
          define_method(:require) do |path|
            Gems.step_aside if path == 'rubygems'
            plain_require(path)
          rescue LoadError => e
            raise if e.path != path || !Gems.load_now

            require(path)
          end
          # RubyGems replace this.
          define_method(:gem) { |*arguments| Gems.load_now && gem(*arguments) }
          private :require, :plain_require, :gem
        end
      end

      # Whether they were still to be loaded; they are now.
      def load_now
        return false unless Object.autoload?(:Gem)

        step_aside
        require('rubygems')
      end

      # Gives `require` back before RubyGems replace it.
      def step_aside
        Kernel.module_eval do
          alias_method :require, :plain_require
          private :require
        end
      end
    end
  end
end
