export { init, use, getInstanceByDom, registerTheme, version } from 'echarts/core';
import { use } from 'echarts/core';
import { LineChart, BarChart, ScatterChart, HeatmapChart, SankeyChart, CustomChart } from 'echarts/charts';
import { GridComponent, TooltipComponent, LegendScrollComponent, LegendPlainComponent, VisualMapContinuousComponent, MarkLineComponent, AriaComponent } from 'echarts/components';
import { CanvasRenderer } from 'echarts/renderers';
use([LineChart, BarChart, ScatterChart, HeatmapChart, SankeyChart, CustomChart, GridComponent, TooltipComponent, LegendScrollComponent, LegendPlainComponent, VisualMapContinuousComponent, MarkLineComponent, AriaComponent, CanvasRenderer]);
