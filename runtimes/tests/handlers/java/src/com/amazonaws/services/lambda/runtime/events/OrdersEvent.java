package com.amazonaws.services.lambda.runtime.events;

import java.util.Date;
import java.util.List;

/** As the classes of AWS's events are: members begin with capitals, and there may be no empty constructor. */
public class OrdersEvent {
    private final List<Order> records;

    public OrdersEvent(List<Order> records) {
        this.records = records;
    }

    public List<Order> getRecords() {
        return records;
    }

    /** A part of it. */
    public static class Order {
        private String awsRegion;
        private String eventSourceArn;
        private String detailType;
        private Boolean isBase64Encoded;
        private Date arrival;

        public String getAwsRegion() {
            return awsRegion;
        }

        public void setAwsRegion(String awsRegion) {
            this.awsRegion = awsRegion;
        }

        public String getEventSourceArn() {
            return eventSourceArn;
        }

        public void setEventSourceArn(String eventSourceArn) {
            this.eventSourceArn = eventSourceArn;
        }

        public String getDetailType() {
            return detailType;
        }

        public void setDetailType(String detailType) {
            this.detailType = detailType;
        }

        public Boolean getIsBase64Encoded() {
            return isBase64Encoded;
        }

        public void setIsBase64Encoded(Boolean isBase64Encoded) {
            this.isBase64Encoded = isBase64Encoded;
        }

        public Date getArrival() {
            return arrival;
        }

        public void setArrival(Date arrival) {
            this.arrival = arrival;
        }
    }
}
