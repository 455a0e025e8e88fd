package example;

import com.amazonaws.services.lambda.runtime.Context;

/** The types of its interface are told by the class above. */
public class Typed extends TypedBase<App.Order> {
    @Override
    public String handleRequest(App.Order order, Context context) {
        return order.getId();
    }
}
