package com.amazonaws.services.lambda.runtime;

import java.util.Map;

/** What a caller told of itself and its device. */
public interface ClientContext {
    /** The application. */
    Client getClient();

    /** What the application set itself. */
    Map<String, String> getCustom();

    /** The device, as the mobile SDK sees it. */
    Map<String, String> getEnvironment();
}
