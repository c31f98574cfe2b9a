using System.Globalization;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Split;

namespace Paravane.RingBenchmarks;

/// <summary><c>pair [SECONDS]</c>: a generator thread against a device thread, one copy a frame, 64 B and 1518 B, both formats.</summary>
internal static class PairCommand
{
    private static readonly int[] s_frames = [64, 1518];

    public static int Run(ReadOnlySpan<string> args)
    {
        double seconds = 3;
        if (args.Length > 1 || (args.Length == 1 && !double.TryParse(args[0], CultureInfo.InvariantCulture, out seconds)) || seconds is not (> 0 and <= 600))
        {
            Console.Error.WriteLine("usage: pair [SECONDS], above 0 and at most 600");
            return 2;
        }

        Console.WriteLine($"{"ring",-8}{"frame",8}{"Mpps",10}{"Gbit/s",10}{"ns/frame",10}");
        foreach (int frame in s_frames)
        {
            Print("split", frame, RingPair<SplitRing, SplitDriver>.Measure(frame, seconds));
            Print("packed", frame, RingPair<PackedRing, PackedDriver>.Measure(frame, seconds));
        }

        return 0;
    }

    private static void Print(string ring, int frame, double perSecond) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{ring,-8}{frame,8}{perSecond / 1e6,10:F2}{perSecond * frame * 8 / 1e9,10:F2}{1e9 / perSecond,10:F1}"));
}
