import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeSet;
import org.tensorflow.SavedModelBundle;
import org.tensorflow.ndarray.NdArrays;
import org.tensorflow.ndarray.Shape;
import org.tensorflow.types.TFloat32;
import org.tensorflow.types.TString;

/** Prints the signatures of a SavedModel, then class and probabilities of each image file. */
public class Predict {
  public static void main(String[] arguments) throws Exception {
    int count = arguments.length - 1;
    try (var model = SavedModelBundle.load(arguments[0], "serve")) {
      var names = new TreeSet<String>();
      model.signatures().forEach(signature -> names.add(signature.key()));
      System.out.println(String.join(" ", names));
      var images = NdArrays.ofObjects(byte[].class, Shape.of(count));
      for (int i = 0; i < count; i++)
        images.setObject(Files.readAllBytes(Path.of(arguments[i + 1])), i);
      try (var input = TString.tensorOfBytes(images);
          var outputs = model.function("serve_images").call(Map.of("image_bytes", input))) {
        var classes = (TString) outputs.get("class").get();
        var probability = (TFloat32) outputs.get("probability").get();
        for (int i = 0; i < count; i++) {
          var line = new StringBuilder(classes.getObject(i, 0));
          for (int k = 0; k < probability.shape().get(1); k++)
            line.append(' ').append(probability.getFloat(i, k));
          System.out.println(line);
        }
      }
    }
  }
}
