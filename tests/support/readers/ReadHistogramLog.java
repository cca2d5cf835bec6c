import org.HdrHistogram.EncodableHistogram;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramLogReader;

/**
 * Reads a histogram log with the reference implementation and prints its entries as JSON. Usage: java -cp hdrhistogram.jar
 * ReadHistogramLog.java FILE. Used by tests/it/formats.rs.
 */
public class ReadHistogramLog {
    public static void main(String[] arguments) throws Exception {
        StringBuilder json = new StringBuilder("[");
        HistogramLogReader reader = new HistogramLogReader(arguments[0]);
        while (reader.hasNext()) {
            EncodableHistogram entry = reader.nextIntervalHistogram();
            if (entry == null) {
                continue;
            }
            Histogram histogram = (Histogram) entry;
            json.append(json.length() > 1 ? "," : "");
            json.append("{\"tag\":\"").append(histogram.getTag()).append("\",\"count\":").append(histogram.getTotalCount());
            json.append(",\"percentiles\":{");
            for (double percentile : new double[] {50.0, 95.0, 99.0, 99.9, 100.0}) {
                json.append(percentile == 50.0 ? "" : ",");
                json.append("\"").append(percentile).append("\":").append(histogram.getValueAtPercentile(percentile));
            }
            json.append("}}");
        }
        System.out.print(json.append("]"));
    }
}
