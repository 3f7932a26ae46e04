"""pyspark.py TEXT OUT: word count with Spark's data frames on this machine's cores."""
import sys

# this file has the package's name: look for the package elsewhere
sys.path.pop(0)
from pyspark.sql import SparkSession, functions as f

text, out = sys.argv[1:]
spark = SparkSession.builder.master("local[*]").config("spark.driver.memory", "3g").config("spark.ui.enabled", "false").getOrCreate()
words = spark.read.text(text).select(f.explode(f.split("value", r"[ \t\n\r\x0b\x0c]+")).alias("word")).where("word <> ''")
words.groupBy("word").count().orderBy("word").write.csv(out, sep="\t")
